FROM a
COPY a <<EOF
x
EOF
ADD <<x <<y
x
y
