FROM a
RUN -- --x
RUN --network=host -- -x --y
RUN -x --y
