FROM a
RUN echo ${a[@]} <<EOF
