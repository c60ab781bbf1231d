package org.apache.http.annotation;

public @interface GuardedBy { String value(); }
