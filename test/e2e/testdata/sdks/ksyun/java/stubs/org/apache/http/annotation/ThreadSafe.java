package org.apache.http.annotation;

public @interface ThreadSafe {}
