FROM é/日本:ü
RUN echo 日本
ENV é=日本 ü="ö"
COPY 日 本
