package org.apache.http.annotation;

public @interface NotThreadSafe {}
