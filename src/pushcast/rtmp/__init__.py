"""RTMP without sockets: values (amf0), handshake, messages, and the connection that joins them, for both roles."""
