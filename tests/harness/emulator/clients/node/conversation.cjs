// A customer's whole chat with the clients that people use: AWS SDK for JavaScript v3 and amazon-connect-chatjs.
// Argument: the emulator's line of JSON. Prints one JSON object of what was seen.
"use strict";

// chatjs is a browser bundle: it looks for these when it is loaded.
global.self = global;
global.window = global;
global.WebSocket = require("ws");
Object.defineProperty(global, "navigator", { value: { onLine: true, userAgent: "node" }, configurable: true });

const { ConnectClient, StartChatContactCommand, StopContactCommand, DescribeContactCommand } = require("@aws-sdk/client-connect");
require("amazon-connect-chatjs");

const where = JSON.parse(process.argv[2]);
const client = new ConnectClient({
  endpoint: where.endpoint,
  region: where.region,
  credentials: { accessKeyId: where.access_key_id, secretAccessKey: where.secret_access_key },
  maxAttempts: 1,
});
const request = {
  InstanceId: where.instance_id,
  ContactFlowId: where.contact_flow_id,
  ParticipantDetails: { DisplayName: "Jürgen" },
  Attributes: { "loadtest-run": "node" },
  SupportedMessagingContentTypes: ["text/plain", "text/markdown"],
};

function until(register, wanted) {
  return new Promise((resolve) => register((event) => wanted(event) && resolve(event)));
}

async function refusals() {
  const seen = {};
  const attempt = async (name, command) => {
    try {
      await client.send(command);
      seen[name] = "no error";
    } catch (error) {
      seen[name] = [error.name, error.$metadata.httpStatusCode, error.message];
    }
  };
  await attempt("invalid", new StartChatContactCommand({ ...request, SupportedMessagingContentTypes: ["text/markdown"] }));
  await attempt("unknown flow", new StartChatContactCommand({ ...request, ContactFlowId: "no-such-flow" }));
  await attempt("unknown contact", new StopContactCommand({ InstanceId: where.instance_id, ContactId: "nobody" }));
  // The quota is two: the conversation holds one slot, this start takes the other.
  const second = await client.send(new StartChatContactCommand(request));
  await attempt("quota", new StartChatContactCommand(request));
  await client.send(new StopContactCommand({ InstanceId: where.instance_id, ContactId: second.ContactId }));
  for (let n = 0; n < 20 && !(seen.throttle && seen.throttle[0] !== "no error" && seen.throttle[0] !== "LimitExceededException"); n++) {
    await attempt("throttle", new StartChatContactCommand({ ...request, ContactFlowId: "no-such-flow" }));
    if (seen.throttle[0] === "ResourceNotFoundException") delete seen.throttle;
  }
  return seen;
}

async function main() {
  const started = await client.send(new StartChatContactCommand(request));
  const { connect } = global;
  connect.ChatSession.setGlobalConfig({
    endpoint: where.participant_endpoint,
    region: where.region,
    loggerConfig: { level: 10 },
    webSocketManagerConfig: { isNetworkOnline: () => true },
  });
  const session = connect.ChatSession.create({
    chatDetails: {
      contactId: started.ContactId,
      participantId: started.ParticipantId,
      participantToken: started.ParticipantToken,
    },
    options: { region: where.region },
    type: connect.ChatSession.SessionTypes.CUSTOMER,
    disableCSM: true,
  });
  const text = "**bold** and *slanted*\n\n- one\n- two";
  // connect() tells of a connection before its websocket is open; the event of the open websocket has no connectCalled.
  const established = until((f) => session.onConnectionEstablished(f), (event) => !(event && event.connectCalled));
  const heard = until((f) => session.onMessage(f), (event) => event.data.ContentType === "text/markdown");
  const typing = until((f) => session.onTyping(f), () => true);
  const ended = until((f) => session.onEnded(f), () => true);
  await session.connect();
  await established;
  const sent = await session.sendMessage({ message: text, contentType: "text/markdown" });
  const message = (await heard).data;
  await session.sendEvent({ contentType: "application/vnd.amazonaws.connect.event.typing" });
  await typing;
  const transcript = (await session.getTranscript({ maxResults: 100, sortOrder: "ASCENDING", scanDirection: "FORWARD" })).data;
  const shown = until((f) => session.onMessage(f), (event) => event.data.Type === "ATTACHMENT");
  await session.sendAttachment({ attachment: new File(["seven!!"], "order.txt", { type: "text/plain" }) });
  const attachment = (await shown).data.Attachments[0];
  const file = await session.downloadAttachment({ attachmentId: attachment.AttachmentId });
  const seen = await refusals();
  await session.disconnectParticipant();
  const end = (await ended).chatDetails.contactId;
  const described = await client.send(
    new DescribeContactCommand({ InstanceId: where.instance_id, ContactId: started.ContactId }),
  );
  console.log(JSON.stringify({
    contact: started.ContactId,
    sent: sent.data,
    text,
    message,
    transcript: transcript.Transcript,
    attachment,
    file: await file.text(),
    end,
    reason: described.Contact.DisconnectReason ?? null,
    disconnected: described.Contact.DisconnectTimestamp instanceof Date,
    refusals: seen,
  }));
}

// chatjs leaves timers behind: the process has to be ended.
main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
