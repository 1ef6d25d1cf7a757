FROM a
ENV A=1 B="two words" C='x y' D=a\ b E= F=$A
