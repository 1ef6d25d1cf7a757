FROM	debian		AS 	 base	
