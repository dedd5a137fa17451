// nodemailer: one mail over STARTTLS. node send.mjs HOST PORT CERTIFICATE FROM TO SUBJECT TEXT ATTACHMENT; prints JSON.
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { createTransport } from "nodemailer";

const [host, port, certificate, from, to, subject, text, attachment] = process.argv.slice(2);
const transport = createTransport({
  host, port: Number(port), name: "client.example.com", requireTLS: true,
  tls: { ca: readFileSync(certificate), servername: "localhost" },
});
try {
  const sent = await transport.sendMail({
    from, to, subject, text, attachments: [{ filename: basename(attachment), path: attachment }],
  });
  console.log(JSON.stringify({ response: sent.response }));
} catch (error) {
  console.log(JSON.stringify({ code: error.responseCode, response: error.response }));
} finally {
  transport.close();
}
