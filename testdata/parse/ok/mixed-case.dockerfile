FrOm a
rUn x
