/// scsi-copy: reads, writes or verifies the start of a SCSI disk through /dev/sgN, one command for
/// all of it, without the kernel's disk driver and the I/O which that does of its own accord.
/// Before it come TEST UNIT READY and READ CAPACITY. Refusals that pass are tried again, as the
/// disk driver would: unit attentions, BUSY, TASK SET FULL, "becoming ready", commands that were
/// aborted and those that a lost session took with it. Exit status: 0 done, 1 not, 2 wrong use.
#include <fcntl.h>
#include <scsi/sg.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <span>
#include <string_view>
#include <vector>

namespace holdfast::stress {
namespace {

constexpr unsigned kTimeoutMs = 30'000;     // the disk driver's
constexpr unsigned kTriesMax = 40;          // of one command that is refused for passing reasons
constexpr long kRestNs = 100'000'000;       // between two tries
constexpr std::size_t kBytesMax = 1 << 24;  // what one command can be asked for here

// SAM-5 section 5.3.1, SPC-4 section 4.5.6; the host's codes are those of Linux.
constexpr std::uint8_t kCheckCondition = 0x02;
constexpr std::uint8_t kBusy = 0x08;
constexpr std::uint8_t kTaskSetFull = 0x28;
constexpr std::uint8_t kNotReady = 0x2;
constexpr std::uint8_t kUnitAttention = 0x6;
constexpr std::uint8_t kAbortedCommand = 0xb;
constexpr std::uint8_t kBecomingReady = 0x04;
constexpr std::uint8_t kDescriptorFormat = 0x72;
constexpr std::array<std::uint16_t, 6> kHostPasses{0x02, 0x0b, 0x0c, 0x0d, 0x0e, 0x14};

using Cdb = std::array<std::uint8_t, 16>;
using Bytes = std::span<std::uint8_t>;

/// How a command ended, as far as it decides what follows.
struct Answer {
    bool is_good = false;
    bool may_pass = false;
    std::size_t missing_bytes = 0;
};

struct Sense {
    std::uint8_t key = 0, code = 0;
};

Sense sense_of(std::span<const std::uint8_t> bytes) noexcept {
    if (bytes.size() < 14) return {};
    if ((bytes[0] & 0x7eU) == kDescriptorFormat)
        return {.key = static_cast<std::uint8_t>(bytes[1] & 0xfU), .code = bytes[2]};
    return {.key = static_cast<std::uint8_t>(bytes[2] & 0xfU), .code = bytes[12]};
}

bool passes(const sg_io_hdr& io, Sense sense) noexcept {
    if (std::ranges::find(kHostPasses, io.host_status) != kHostPasses.end()) return true;
    if (io.status == kBusy || io.status == kTaskSetFull) return true;
    if (io.status != kCheckCondition) return false;
    return sense.key == kUnitAttention || sense.key == kAbortedCommand ||
           (sense.key == kNotReady && sense.code == kBecomingReady);
}

void say(std::string_view what, const sg_io_hdr& io, Sense sense) noexcept {
    std::fprintf(stderr, "scsi-copy: %.*s: status %#x host %#x driver %#x sense %x/%02x\n",
                 static_cast<int>(what.size()), what.data(), io.status, io.host_status,
                 io.driver_status, sense.key, sense.code);
}

/// The open disk. Blocking; one command at a time.
class Disk {
public:
    explicit Disk(int file) noexcept : file_(file) {}

    /// One command with its tries. False when it ended otherwise than well, or short; then standard
    /// error says how. `direction` is one of SG_DXFER_.
    [[nodiscard]] bool run(std::string_view what, const Cdb& cdb, std::uint8_t cdb_bytes,
                           int direction, Bytes data) const noexcept {
        for (unsigned tries = 0; tries < kTriesMax; ++tries) {
            if (tries > 0) {
                const timespec rest{0, kRestNs};
                ::nanosleep(&rest, nullptr);
            }
            const Answer answer = once(what, cdb, cdb_bytes, direction, data);
            if (answer.is_good && answer.missing_bytes == 0) return true;
            if (answer.is_good) {
                std::fprintf(stderr, "scsi-copy: %.*s: %zu bytes are missing\n",
                             static_cast<int>(what.size()), what.data(), answer.missing_bytes);
                return false;
            }
            if (!answer.may_pass) return false;
        }
        return false;
    }

private:
    [[nodiscard]] Answer once(std::string_view what, const Cdb& cdb, std::uint8_t cdb_bytes,
                              int direction, Bytes data) const noexcept {
        Cdb words = cdb;
        std::array<std::uint8_t, 64> sense_bytes{};
        sg_io_hdr io{};
        io.interface_id = 'S';
        io.dxfer_direction = direction;
        io.cmd_len = cdb_bytes;
        io.mx_sb_len = sense_bytes.size();
        io.dxfer_len = static_cast<unsigned>(data.size());
        io.dxferp = data.data();
        io.cmdp = words.data();
        io.sbp = sense_bytes.data();
        io.timeout = kTimeoutMs;
        if (::ioctl(file_, SG_IO, &io) != 0) {
            std::fprintf(stderr, "scsi-copy: %.*s: %s\n", static_cast<int>(what.size()),
                         what.data(), std::strerror(errno));
            return {};
        }
        const bool is_good = (io.info & SG_INFO_OK_MASK) == SG_INFO_OK && io.status == 0;
        const Sense sense =
            sense_of(std::span{sense_bytes}.first(std::min<std::size_t>(io.sb_len_wr, 64)));
        if (!is_good) say(what, io, sense);
        return {.is_good = is_good,
                .may_pass = passes(io, sense),
                .missing_bytes = static_cast<std::size_t>(std::max(io.resid, 0))};
    }

    int file_;
};

void put_be32(Bytes at, std::uint32_t value) noexcept {
    for (std::size_t i = 0; i < 4; ++i) at[i] = static_cast<std::uint8_t>(value >> (24 - 8 * i));
}

std::uint32_t be32(std::span<const std::uint8_t> at) noexcept {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) value = value << 8U | at[i];
    return value;
}

/// READ(10) or WRITE(10) of everything, from block 0 on.
bool transfer(const Disk& disk, bool is_write, Bytes data, std::uint32_t block_bytes) noexcept {
    Cdb cdb{};
    cdb[0] = is_write ? 0x2a : 0x28;
    const std::size_t blocks = data.size() / block_bytes;
    cdb[7] = static_cast<std::uint8_t>(blocks >> 8U);
    cdb[8] = static_cast<std::uint8_t>(blocks);
    return disk.run(is_write ? "WRITE" : "READ", cdb, 10,
                    is_write ? SG_DXFER_TO_DEV : SG_DXFER_FROM_DEV, data);
}

/// The bytes of a block, 0 when the disk does not tell.
std::uint32_t block_bytes_of(const Disk& disk) noexcept {
    if (!disk.run("TEST UNIT READY", Cdb{}, 6, SG_DXFER_NONE, {})) return 0;
    Cdb cdb{};
    cdb[0] = 0x25;
    std::array<std::uint8_t, 8> answer{};
    if (!disk.run("READ CAPACITY", cdb, 10, SG_DXFER_FROM_DEV, answer)) return 0;
    return be32(std::span{answer}.last<4>());
}

bool read_all(int file, Bytes data) noexcept {
    while (!data.empty()) {
        const ssize_t got = ::read(file, data.data(), data.size());
        if (got <= 0) return false;
        data = data.subspan(static_cast<std::size_t>(got));
    }
    return true;
}

bool write_all(int file, std::span<const std::uint8_t> data) noexcept {
    while (!data.empty()) {
        const ssize_t put = ::write(file, data.data(), data.size());
        if (put <= 0) return false;
        data = data.subspan(static_cast<std::size_t>(put));
    }
    return true;
}

/// Writes numbered words and reads them back.
bool verify(const Disk& disk, Bytes data, std::uint32_t block_bytes) {
    for (std::size_t at = 0; at + 4 <= data.size(); at += 4)
        put_be32(data.subspan(at, 4), static_cast<std::uint32_t>(at) ^ 0x5a5a5a5aU);
    const std::vector<std::uint8_t> wanted(data.begin(), data.end());
    if (!transfer(disk, true, data, block_bytes)) return false;
    std::ranges::fill(data, std::uint8_t{0});
    if (!transfer(disk, false, data, block_bytes)) return false;
    if (std::ranges::equal(data, wanted)) return true;
    std::fprintf(stderr, "scsi-copy: what was read is not what was written\n");
    return false;
}

int copy(std::string_view kind, const char* device, std::size_t bytes) {
    const int file = ::open(device, O_RDWR | O_CLOEXEC);
    if (file < 0) {
        std::fprintf(stderr, "scsi-copy: %s: %s\n", device, std::strerror(errno));
        return 1;
    }
    const Disk disk{file};
    const std::uint32_t block_bytes = block_bytes_of(disk);
    if (block_bytes == 0) return 1;
    if (bytes % block_bytes != 0 || bytes / block_bytes > 0xffff) {
        std::fprintf(stderr, "scsi-copy: %zu bytes are no blocks of %u\n", bytes, block_bytes);
        return 1;
    }
    std::vector<std::uint8_t> data(bytes);
    if (kind == "verify") return verify(disk, data, block_bytes) ? 0 : 1;
    const bool is_write = kind == "write";
    if (is_write && !read_all(STDIN_FILENO, data)) return 1;
    if (!transfer(disk, is_write, data, block_bytes)) return 1;
    return is_write || write_all(STDOUT_FILENO, data) ? 0 : 1;
}

std::size_t number_of(std::string_view text) noexcept {
    std::size_t value = 0;
    const auto read = std::from_chars(text.begin(), text.end(), value);
    return read.ec == std::errc{} && read.ptr == text.end() ? value : 0;
}

}  // namespace
}  // namespace holdfast::stress

int main(int argc, char** argv) {
    using namespace holdfast::stress;
    const std::span words{argv, static_cast<std::size_t>(argc)};
    const std::string_view kind = words.size() == 4 ? words[1] : "";
    const std::size_t bytes = words.size() == 4 ? number_of(words[3]) : 0;
    if ((kind != "read" && kind != "write" && kind != "verify") || bytes == 0 ||
        bytes > kBytesMax) {
        std::fprintf(stderr, "usage: scsi-copy read|write|verify /dev/sgN BYTES\n");
        return 2;
    }
    return copy(kind, words[2], bytes);
}
