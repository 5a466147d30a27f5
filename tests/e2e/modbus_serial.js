// A rack of npm's modbus-serial: units 1 and 7 hold sixteen registers each, every one takes writes.
// usage: node modbus_serial.js PATH_OF_MODULE HOST PORT
"use strict";

const [modulePath, host, port] = process.argv.slice(2);
const { ServerTCP } = require(modulePath);

const registers = { 1: new Array(16).fill(0), 7: new Array(16).fill(0) };
registers[1][0] = 1;
registers[1][1] = 0xe240; // 123456 W
registers[7][1] = 777;

function at(address, unit) {
    if (address >= registers[unit].length) {
        throw { modbusErrorCode: 2, msg: "no such register" };
    }
    return address;
}

const vector = {
    getHoldingRegister: (address, unit) => registers[unit][at(address, unit)],
    setRegister: (address, value, unit) => {
        registers[unit][at(address, unit)] = value;
    },
};

const server = new ServerTCP(vector, { host, port: Number(port), debug: false, unitID: 255 });
server.on("initialized", () => console.log("ready"));
server.on("socketError", () => {});
