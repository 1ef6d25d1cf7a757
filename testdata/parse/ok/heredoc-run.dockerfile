FROM a
RUN <<EOF
apt-get update
# not a comment

echo \
  $X
EOF
RUN x
