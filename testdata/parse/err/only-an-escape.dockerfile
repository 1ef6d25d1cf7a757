ARG \ 
FROM a
ENV \ 
LABEL \ 
ARG \ 
RUN x
