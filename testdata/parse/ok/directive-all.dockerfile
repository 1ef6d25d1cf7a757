#  SYNTAX = docker/dockerfile:1  
# Escape	=	`
#check=skip=all
FROM a
