# check=skip=FromAsCasing
FROM a as b
