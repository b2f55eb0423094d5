// The official client, told what to do line by line: [method, ...arguments] in, [what, ...values] out.
import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const [url, options] = [process.argv[2], JSON.parse(process.argv[3])];
const say = (...line) => process.stdout.write(JSON.stringify(line) + "\n");

const socket = io(`${url}/chat`, { forceNew: true, reconnectionDelay: 50, reconnectionDelayMax: 200, ...options });
socket.on("connect", () => say("connect", socket.io.engine.transport.name));
socket.on("connect_error", (error) => say("connect_error", error.message, error.data ?? null));
socket.on("disconnect", (reason) => say("disconnect", reason));
socket.io.on("open", () => socket.io.engine.on("upgrade", (transport) => say("upgrade", transport.name)));
for (const event of ["message", "goodbye", "stats"]) socket.on(event, (value) => say(event, value));

const revive = (value) => (value?.bytes ? Buffer.from(value.bytes) : value);
const methods = {
    emit: (...values) => socket.emit(...values.map(revive)),
    call: (...values) => socket.emit(...values.map(revive), (...answer) => say("answer", ...answer)),
    burst: (count) => {
        for (let number = 0; number < count; number++) {
            socket.emit("message", String(number), (...answer) => say("answer", ...answer));
        }
    },
    retried: (...values) => socket.emit(...values, (error, ...answer) => say("answer", error?.message ?? null, ...answer)),
    patient: (ms, ...values) =>
        socket.timeout(ms).emit(...values, (error, ...answer) => say("answer", error?.message ?? null, ...answer)),
    first: async (...values) => say("answer", await socket.emitWithAck(...values)),
    close: () => socket.close(),
};
createInterface({ input: process.stdin })
    .on("line", (line) => {
        const [method, ...values] = JSON.parse(line);
        methods[method](...values);
    })
    .on("close", () => {
        socket.close();
        process.exit(0);
    });
