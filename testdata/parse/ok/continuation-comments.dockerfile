FROM a
RUN a \
# no
   # neither
 && b \
    # last
