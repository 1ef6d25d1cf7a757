FROM a
RUN a<<EOF
RUN echo $((1<<2))
RUN cat <<<word
RUN echo '<<EOF'
