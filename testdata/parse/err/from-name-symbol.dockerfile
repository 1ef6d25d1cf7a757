FROM a AS b/c
FROM b AS ünlaut
FROM c AS -x
