FROM a
RUN --mount='type=secret,id=a b' --mount=type="ssh" x
