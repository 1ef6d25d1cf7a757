FROM a
RUN echo a\\\
RUN b
