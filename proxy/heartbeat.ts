/**
 * The answer to a Ping that the proxy ends because it stops. Called by gate.ts.
 */
import { answer, type Exchange } from './http/exchange.ts';

/** `<Ping><Status>1</Status></Ping>`: WBXML 1.3, UTF-8, code page 13 (MS-ASWBXML 2.1.2.1.14). */
const expired = Buffer.from('03016a00000d45470331000101', 'hex');

/**
 * Says that the heartbeat has passed without changes (MS-ASCMD 2.2.3.177.11, status 1). That ends every quiet Ping, so the
 * client shows nothing and pings again at once, over a new connection and thereby through another proxy; what changed in
 * between is told by the mail server then. 503 would be taken for an outage and put off.
 */
export const endHeartbeat = (exchange: Exchange): void => {
  exchange.connection.closesAfter = true;
  const fields =
    'content-type: application/vnd.ms-sync.wbxml\r\ncache-control: no-store\r\nx-muster-reason: stopping\r\n';
  answer(exchange, 200, fields, expired);
};
