FROM a AS one
RUN x
FROM one AS two
RUN y
FROM scratch
COPY --from=two / /
