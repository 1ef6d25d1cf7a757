FROM --platfrom=linux a
