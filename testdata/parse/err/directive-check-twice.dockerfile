# check=a
# Check=b
FROM a
