// basic-ftp: upload, list, fetch again. node upload.mjs HOST PORT LOGIN PASSWORD CERTIFICATE LOCAL REMOTE BACK; prints JSON.
import { readFileSync } from "node:fs";
import { Client } from "basic-ftp";

const [host, port, user, password, certificate, local, remote, back] = process.argv.slice(2);
const client = new Client(30000);
try {
  await client.access({
    host, port: Number(port), user, password,
    secure: true,
    secureOptions: { ca: readFileSync(certificate), servername: "localhost" },
  });
  const receipt = await client.uploadFrom(local, remote);
  const size = await client.size(remote);
  const listed = (await client.list(remote.slice(0, remote.lastIndexOf("/")))).map((each) => [each.name, each.size]);
  await client.downloadTo(back, remote);
  console.log(JSON.stringify({ receipt: receipt.message, size, listed }));
} finally {
  client.close();
}
