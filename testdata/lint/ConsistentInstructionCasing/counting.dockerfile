ARG a
arg b
from a AS b
run <<EOF
COPY a b
EOF
ONBUILD run x
Copy a b
Env c=d
user e
