From a as b
FROM c AS d
FROM e AS f
