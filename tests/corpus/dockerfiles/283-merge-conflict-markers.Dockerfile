FROM alpine:3.20
<<<<<<< HEAD
RUN one
=======
RUN two
>>>>>>> main
