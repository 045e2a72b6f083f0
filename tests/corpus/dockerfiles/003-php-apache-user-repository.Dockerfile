# WordPress behind our own PHP base
FROM bitnami/php-fpm:8.3
RUN install_packages libpng-dev \
    && docker-php-ext-install gd
USER 1001
