FROM a
RUN <<EOF
EOF
COPY <<a <<b /d/
a
b
