FROM debian As My-Base_1.2
