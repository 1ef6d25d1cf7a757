FROM a
RUN ["a", 1]
CMD [true]
ENTRYPOINT [null]
COPY ["a", ["b"]]
VOLUME [{"a": -1.5e3}]
SHELL [1]
HEALTHCHECK CMD [1]
ADD ["a", {}, "b"]
