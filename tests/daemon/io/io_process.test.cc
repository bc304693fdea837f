#include "daemon/io/io_process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "daemon/io/nbd_wire.h"
#include "daemon/shared/control_message.h"
#include "daemon/shared/shared_area.h"
#include "reserve/heap.h"
#include "tests/daemon/io/ram_target.h"

namespace holdfast::daemon {
namespace {

constexpr std::uint16_t kPort = 13370;
constexpr std::uint32_t kBlockBytes = 4096;

/// A blocking NBD client, with just enough of the protocol.
class NbdClient {
public:
    explicit NbdClient(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof(address.sun_path) - 1);
        EXPECT_EQ(::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
        std::array<std::byte, 18> greeting{};
        take(greeting);
        std::array<std::byte, 20> wish{};
        ByteWriter writer{wish};
        writer.be32(nbd::kFixedNewstyle | nbd::kNoZeroes);
        writer.be64(nbd::kOptionMagic);
        writer.be32(1);
        writer.be32(0);
        give(wish);
        std::array<std::byte, 10> about{};
        take(about);
        size_ = be64_at<0>(std::span<const std::byte, 10>{about});
    }
    /// Sends `count` requests at once, then takes all answers. The number of errors.
    int run(nbd::Command command, std::uint32_t count, std::span<std::byte> data) {
        std::vector<std::byte> out;
        for (std::uint32_t i = 0; i < count; ++i) {
            std::array<std::byte, nbd::kRequestBytes> request{};
            ByteWriter writer{request};
            writer.be32(nbd::kRequestMagic);
            writer.be16(0);
            writer.be16(static_cast<std::uint16_t>(command));
            writer.be64(i);
            writer.be64((++serial_ * kBlockBytes) % size_);
            writer.be32(static_cast<std::uint32_t>(data.size()));
            out.insert(out.end(), request.begin(), request.end());
            if (command == nbd::Command::Write) out.insert(out.end(), data.begin(), data.end());
        }
        give(out);
        int errors = 0;
        for (std::uint32_t i = 0; i < count; ++i) {
            std::array<std::byte, nbd::kReplyBytes> reply{};
            take(reply);
            if (be32_at<4>(std::span<const std::byte, 16>{reply}) != 0)
                ++errors;
            else if (command == nbd::Command::Read)
                take(data);
        }
        return errors;
    }
    /// Anything at all; the server may hang up on it.
    void give(std::span<const std::byte> bytes) {
        while (!bytes.empty()) {
            const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent <= 0) return;
            bytes = bytes.subspan(static_cast<std::size_t>(sent));
        }
    }
    bool is_hung_up_on() {
        char byte = 0;
        return ::recv(fd_.get(), &byte, 1, 0) <= 0;
    }
    [[nodiscard]] std::uint64_t size() const { return size_; }

private:
    void take(std::span<std::byte> into) {
        while (!into.empty()) {
            const ssize_t got = ::recv(fd_.get(), into.data(), into.size(), 0);
            ASSERT_GT(got, 0);
            into = into.subspan(static_cast<std::size_t>(got));
        }
    }

    UniqueFd fd_;
    std::uint64_t size_ = 0;
    std::uint64_t serial_ = 0;
};

/// An I/O process of its own, as the supervisor makes one.
class IoProcessTest : public testing::Test {
protected:
    void start(const RamTarget& target, std::uint32_t flags) {
        path_ = testing::TempDir() + "holdfast-io-" + std::to_string(::getpid()) + ".nbd";
        EXPECT_TRUE(spec_.name.try_assign("disk"));
        spec_.flags = flags | kAttachKeepKernelReserve;
        const Duration login = spec_.session.timers.login;
        spec_.session = target.session();
        spec_.session.timers.login = login;
        spec_.limits.depth = 32;
        spec_.exported.kind = ExportKind::Nbd;
        EXPECT_TRUE(spec_.exported.nbd_socket_path.try_assign(path_));
        ASSERT_TRUE(check(spec_).has_value());
        auto area = make_shared_area();
        ASSERT_TRUE(area.has_value());
        auto mapped = SharedMapping::map(area->get());
        ASSERT_TRUE(mapped.has_value());
        shared_ = *std::move(mapped);
        std::array<int, 2> ends{};
        ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()), 0);
        command_ = UniqueFd{ends[0]};
        UniqueFd theirs{ends[1]};
        pid_ = ::fork();
        if (pid_ == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // It must not outlive a test that is stopped.
            ::_exit(
                run_io_process(spec_, {.area = *std::move(area), .command = std::move(theirs)}));
        }
    }
    void TearDown() override {
        if (pid_ <= 0) return;  // A test that failed in the middle.
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }
    void say(const ControlMessage& message) {
        ASSERT_TRUE(send_message(command_.get(), bytes_of(message)).has_value());
    }
    MessageKind next_message() {
        pollfd wait{.fd = command_.get(), .events = POLLIN, .revents = 0};
        EXPECT_EQ(::poll(&wait, 1, 30'000), 1);
        std::array<std::byte, kMessageBytesMax> room{};
        const auto received = receive_message(command_.get(), room);
        if (!received || received->bytes == 0) return MessageKind::Exited;
        const auto message = control_message_from(std::span{room}.first(received->bytes));
        if (!message) return MessageKind::Exited;
        last_ = *message;
        return message->header.kind;
    }
    int end() {
        int status = 0;
        ::waitpid(std::exchange(pid_, 0), &status, 0);
        std::filesystem::remove(path_);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    }
    int detach() {
        const ControlMessage message{.header = {.kind = MessageKind::Detach}};
        EXPECT_TRUE(send_message(command_.get(), bytes_of(message)).has_value());
        EXPECT_EQ(next_message(), MessageKind::Detached);
        return end();
    }
    /// What the kernel says of the process's memory.
    long memory_kib(const char* key) const {
        const std::string path = "/proc/" + std::to_string(pid_) + "/status";
        const UniqueFd fd{::open(path.c_str(), O_RDONLY)};
        std::array<char, 4096> text{};
        EXPECT_GT(::read(fd.get(), text.data(), text.size() - 1), 0);
        const std::string_view all{text.data()};
        return std::atol(all.substr(all.find(key)).substr(std::strlen(key) + 1).data());
    }
    StatusFacts facts() { return StatusReader{shared_.area().status}.try_read().value(); }

    AttachSpec spec_;
    std::string path_;
    SharedMapping shared_;
    UniqueFd command_;
    ControlMessage last_;
    pid_t pid_ = 0;
};

// Goal: an I/O process without lockdown logs in, serves, survives clients of every kind, and
// detaches.
TEST_F(IoProcessTest, ServesAndDetaches) {
    const RamTarget target{kPort};
    start(target, kAttachWithoutLockdown);
    ASSERT_EQ(next_message(), MessageKind::Ready);
    EXPECT_EQ(facts().phase, IoPhase::Serving);
    std::vector<std::byte> data(kBlockBytes);
    NbdClient client{path_};
    EXPECT_EQ(client.size(), 64ULL << 20);
    EXPECT_EQ(client.run(nbd::Command::Write, 64, data), 0);
    EXPECT_EQ(client.run(nbd::Command::Read, 64, data), 0);
    {
        NbdClient rude{path_};
        const std::vector<std::byte> garbage(64, std::byte{0x55});
        rude.give(garbage);
        EXPECT_TRUE(rude.is_hung_up_on());
    }
    for (int i = 0; i < 10; ++i) {
        NbdClient passing{path_};
        EXPECT_EQ(passing.run(nbd::Command::Flush, 1, {}), 0);
    }
    EXPECT_EQ(client.run(nbd::Command::Read, 1, data), 0);
    EXPECT_EQ(detach(), kIoExitDetached);
}

// Goal: the target that is not there is one sentence and an exit code.
TEST_F(IoProcessTest, UnreachableTargetIsToldAndLeaves) {
    auto target = std::make_unique<RamTarget>(kPort + 1);
    target->stop();
    spec_.session.timers.login = Duration::from_ms(300);
    start(*target, kAttachWithoutLockdown);
    ASSERT_EQ(next_message(), MessageKind::Failed);
    EXPECT_EQ(last_.reason, FailReason::Unreachable);
    EXPECT_EQ(end(), kIoExitFailed);
}

// Goal: a redirect by name is asked of control, over the command socket, by an armed process as
// well; while nobody answers, it goes on with what it was told before.
// Rows: LOG-24
TEST_F(IoProcessTest, RedirectByNameIsAskedOfControl) {
    if (!reserve::heap::facts().is_ours) GTEST_SKIP() << "a sanitizer owns the heap";
    if (::geteuid() != 0) GTEST_SKIP() << "locking memory needs root";
    RamTarget moved{kPort + 3};
    const std::string address = "disk.example:" + std::to_string(kPort + 3);
    const RamTarget target{kPort + 4, "id=0,size=64M,cache=on", 1, {"--redirect", address}};
    start(target, kAttachForceTier);
    ASSERT_EQ(next_message(), MessageKind::HostWanted);
    EXPECT_EQ(last_.host.view(), "disk.example");
    ControlMessage answer{.header = {.kind = MessageKind::HostFound}};
    answer.host = last_.host;
    ASSERT_TRUE(answer.address.try_assign("127.0.0.1"));
    say(answer);
    ASSERT_EQ(next_message(), MessageKind::Ready);
    EXPECT_EQ(facts().phase, IoPhase::Armed);
    EXPECT_EQ(facts().portal_host.view(), "disk.example");

    moved.stop();
    moved.start();
    ASSERT_EQ(next_message(), MessageKind::HostWanted);  // And nobody answers.
    std::vector<std::byte> data(kBlockBytes);
    NbdClient client{path_};
    EXPECT_EQ(client.run(nbd::Command::Read, 4, data), 0);
    EXPECT_EQ(facts().counters.sessions_established, 2U);
    EXPECT_EQ(detach(), kIoExitDetached);
}

// Goal: an armed process reconnects, fence and all, with the memory that it has.
// Rows: BUG-61
TEST_F(IoProcessTest, ArmedProcessReconnectsWithoutGrowing) {
    if (!reserve::heap::facts().is_ours) GTEST_SKIP() << "a sanitizer owns the heap";
    if (::geteuid() != 0) GTEST_SKIP() << "locking memory needs root";
    const RamTarget target{
        kPort + 5, "id=0,size=64M,cache=on", 1, {"--fault", "op=write every-commands=100 reset"}};
    start(target, kAttachForceTier);
    ASSERT_EQ(next_message(), MessageKind::Ready);
    EXPECT_EQ(facts().phase, IoPhase::Armed);
    std::vector<std::byte> data(kBlockBytes);
    NbdClient client{path_};
    EXPECT_EQ(client.run(nbd::Command::Write, 64, data), 0);
    const long locked = memory_kib("VmLck");
    const long anonymous = memory_kib("RssAnon");
    EXPECT_EQ(client.run(nbd::Command::Write, 512, data), 0);
    EXPECT_EQ(memory_kib("VmLck"), locked);
    EXPECT_EQ(memory_kib("RssAnon"), anonymous);
    EXPECT_EQ(detach(), kIoExitDetached);
    EXPECT_GE(facts().counters.sessions_lost, 3U);
    EXPECT_EQ(facts().counters.requests_failed, 0U);
}

// Goal: armed means fixed. With the fuse and the filter on, many requests go through, and neither
// locked nor anonymous memory grows.
// Method: HF_IO_REQUESTS in the environment sets how many; a million takes a minute.
TEST_F(IoProcessTest, ArmedProcessServesWithoutGrowing) {
    if (!reserve::heap::facts().is_ours) GTEST_SKIP() << "a sanitizer owns the heap";
    if (::geteuid() != 0) GTEST_SKIP() << "locking memory needs root";
    const char* const wish = std::getenv("HF_IO_REQUESTS");
    const std::uint32_t requests =
        wish != nullptr ? static_cast<std::uint32_t>(std::atol(wish)) : 20'000;
    const RamTarget target{kPort + 2};
    start(target, kAttachForceTier);
    ASSERT_EQ(next_message(), MessageKind::Ready);
    EXPECT_EQ(facts().phase, IoPhase::Armed);
    std::vector<std::byte> data(kBlockBytes);
    NbdClient client{path_};
    EXPECT_EQ(client.run(nbd::Command::Write, 512, data), 0);
    const long locked = memory_kib("VmLck");
    const long anonymous = memory_kib("RssAnon");
    for (std::uint32_t done = 0; done < requests; done += 512)
        ASSERT_EQ(
            client.run((done / 512) % 2 == 0 ? nbd::Command::Read : nbd::Command::Write, 512, data),
            0);
    EXPECT_EQ(memory_kib("VmLck"), locked);
    EXPECT_EQ(memory_kib("RssAnon"), anonymous);
    RecordProperty("locked_kib", static_cast<int>(locked));
    EXPECT_EQ(detach(), kIoExitDetached);
    EXPECT_GE(facts().counters.requests_done, requests);
}

}  // namespace
}  // namespace holdfast::daemon
