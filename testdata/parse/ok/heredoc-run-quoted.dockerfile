FROM a
RUN <<'EOF'
$x
EOF
RUN <<"E F"
y
E F
