FROM a
RUN x \
  # a comment
#
  y
RUN <<EOF

EOF
RUN z \
  	
  y

RUN last \
