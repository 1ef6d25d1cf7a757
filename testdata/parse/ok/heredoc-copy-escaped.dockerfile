FROM a
COPY <<E\OF /d/
$x
EOF
