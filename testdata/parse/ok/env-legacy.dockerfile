FROM a
ENV A  some value "quoted"  
ENV B x=y
