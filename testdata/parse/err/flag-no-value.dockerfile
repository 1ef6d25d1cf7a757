FROM a
COPY --from a b
RUN --mount x
COPY --exclude a b
