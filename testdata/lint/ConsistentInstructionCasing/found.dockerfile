FROM a
run x
Copy a b
USER c
