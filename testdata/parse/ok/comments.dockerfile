# first

ARG A
# a doc
#   of two lines  
FROM a
# lost
#
# kept

# too
RUN x
   # indented
RUN y
