FROM a
RUN a \
  <<EOF \
  b
x
EOF
