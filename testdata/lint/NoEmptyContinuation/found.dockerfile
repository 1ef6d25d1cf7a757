FROM a
RUN x \


  y \

  z
RUN a \
   
 b
