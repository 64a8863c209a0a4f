/**
 * nginx with the same work as far as it can do it: TLS, a map of device ids as its gate, an access log, keep-alive to
 * the mail server. Started by bench/proxy/main.ts where nginx is installed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const binary = '/usr/sbin/nginx';

/** Whether there is one. */
export const hasNginx = (): boolean => existsSync(binary);

const configOf = (
  dir: string,
  port: number,
  backendPort: number,
  cert: string,
  key: string,
  devices: number,
) => `
daemon off; master_process off; worker_processes 1; pid ${dir}/nginx.pid; error_log ${dir}/error.log crit;
events { worker_connections 16384; }
http {
  map_hash_max_size 65536; map_hash_bucket_size 128;
  map $arg_DeviceId $allowed { default 0;
${Array.from({ length: devices }, (_, index) => `    DEVICE${index} ${index % 100 === 99 ? 0 : 1};`).join('\n')}
  }
  log_format gate '$time_iso8601 $remote_addr $remote_user $arg_DeviceId $arg_Cmd $allowed $status $request_time $bytes_sent';
  access_log ${dir}/nginx-access.log gate buffer=16k flush=1s;
  client_body_temp_path ${dir}/body; proxy_temp_path ${dir}/proxy; fastcgi_temp_path ${dir}/f;
  uwsgi_temp_path ${dir}/u; scgi_temp_path ${dir}/s;
  keepalive_requests 1000000000; client_max_body_size 0;
  upstream mail { server 127.0.0.1:${backendPort}; keepalive 256; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port} ssl; ssl_certificate ${cert}; ssl_certificate_key ${key};
    ssl_protocols TLSv1.2 TLSv1.3;
    location / {
      if ($allowed = 0) { return 403; }
      proxy_pass http://mail; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_read_timeout 4000s;
      proxy_request_buffering on; proxy_buffering on;
    }
  }
}`;

/** Starts it and waits until it listens. */
export const startNginx = async (
  dir: string,
  port: number,
  backendPort: number,
  { cert, key, devices }: { cert: string; key: string; devices: number },
): Promise<ChildProcess> => {
  writeFileSync(`${dir}/nginx.conf`, configOf(dir, port, backendPort, cert, key, devices));
  const child = spawn(binary, ['-p', dir, '-c', `${dir}/nginx.conf`], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  for (;;) {
    if (child.exitCode !== null) throw new Error('nginx does not start');
    const isUp = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(true)).once('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
    if (isUp) return child;
    await sleep(20);
  }
};
