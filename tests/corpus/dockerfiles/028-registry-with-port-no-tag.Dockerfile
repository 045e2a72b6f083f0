FROM localhost:5000/app-base
RUN /setup.sh
