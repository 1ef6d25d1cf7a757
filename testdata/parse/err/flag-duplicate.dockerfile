FROM a
COPY --from=a --from=b c d
RUN --network=none --network=host x
