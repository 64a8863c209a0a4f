/** What the tests of the event store over TLS share: a store with users, and clients that are somebody. */
import { randomUUID } from 'node:crypto';
import { EventStoreDBClient } from '@eventstore/db-client';
import { start } from '../../embedded/event-store/main.ts';
import { certificateHosts, ownCertificate } from '../../embedded/event-store/security/certificates.ts';
import { openUsers, type Users } from '../../embedded/event-store/security/users.ts';
import { ensureDatabase } from '../../embedded/postgres.ts';
import { openPasswordHashing } from '../../platform/passwords.ts';
import { openSql, type Sql } from '../../platform/sql.ts';
import { anyPostgres, dropDatabase, log, temporaryFolder } from './support.ts';

export interface Login {
  readonly username: string;
  readonly password: string;
}

/** A store over TLS with the users alice and bob (of group staff), olga ($ops) and admin ($admins). */
export interface SecureStore {
  readonly port: number;
  readonly caFile: string;
  readonly databaseUrl: string;
  readonly sql: Sql;
  readonly users: Users;
  readonly admin: Login;
  readonly alice: Login;
  readonly bob: Login;
  readonly olga: Login;
  /** The address for `user`, or for nobody. */
  urlFor(user?: Login, host?: string): string;
  /** A client that `stop` disposes of. */
  client(user?: Login): EventStoreDBClient;
  /** Another client of any address, likewise. */
  connect(url: string): EventStoreDBClient;
  /** Ends the server alone; `stop` may follow. */
  stopServer(): Promise<void>;
  stop(): Promise<void>;
}

const userOf = async (users: Users, username: string, groups: string[] = []): Promise<Login> => ({
  username,
  password: await users.add(username, groups),
});

export const openSecureStore = async (): Promise<SecureStore> => {
  const folder = temporaryFolder();
  const postgres = await anyPostgres();
  const name = `secure_${randomUUID().replaceAll('-', '')}`;
  const databaseUrl = await ensureDatabase(postgres.url, name);
  const host = '127.0.0.1';
  const certificate = await ownCertificate(folder.path, certificateHosts(host, host), new Date(), log);
  const tls = { ...certificate, advertisedHost: host };
  const server = await start({ port: 0, databaseUrl, tls }, { log });
  const sql = openSql(databaseUrl, { max: 2 });
  const users = openUsers(sql, await openPasswordHashing());
  const clients: EventStoreDBClient[] = [];
  const connect = (url: string): EventStoreDBClient => {
    const client = EventStoreDBClient.connectionString(url);
    clients.push(client);
    return client;
  };
  const urlFor: SecureStore['urlFor'] = (user, address = host) => {
    const credentials = user ? `${user.username}:${user.password}@` : '';
    return `esdb://${credentials}${address}:${server.port}?tls=true&tlsCAFile=${tls.caFile}`;
  };
  let stopping: Promise<void> | undefined;
  const stopServer = (): Promise<void> => {
    stopping ??= server.stop();
    return stopping;
  };
  return {
    port: server.port,
    caFile: tls.caFile as string,
    databaseUrl,
    sql,
    users,
    admin: { username: 'admin', password: server.administratorPassword as string },
    alice: await userOf(users, 'alice'),
    bob: await userOf(users, 'bob', ['staff']),
    olga: await userOf(users, 'olga', ['$ops']),
    urlFor,
    client: (user) => connect(urlFor(user)),
    connect,
    stopServer,
    stop: async () => {
      await Promise.all(clients.map((client) => client.dispose()));
      await stopServer();
      await sql.end();
      await dropDatabase(postgres.url, name);
      await postgres.stop();
      folder.remove();
    },
  };
};
