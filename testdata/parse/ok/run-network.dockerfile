FROM a
RUN --network=none --security=insecure --device=a --device=b=c x
