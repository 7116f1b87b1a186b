/** Fields of HTTP/1.1 that speak of one connection: no proxy passes them on (RFC 9110, 7.6.1). */
export const connectionFields = [
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
] as const;
