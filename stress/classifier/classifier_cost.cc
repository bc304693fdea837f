/// What the classifier costs: the time it takes for one packet, and the throughput of other traffic
/// with and without it. Root.
///
///   classifier-cost [ROUNDS]
///
/// Prints JSON. Throughput is one TCP stream for a second through a pair of virtual devices between
/// two network namespaces, the receiving one with no XDP program, with one that passes everything,
/// and with the classifier, in turn. A virtual device copies each packet for any XDP program, which
/// a network card does not: so the classifier is held against the program that only passes.

#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "netpath/classifier/loader.h"
#include "netpath/classifier/table.h"
#include "stress/classifier/pass_program.h"

namespace {

using namespace holdfast;
using stress::attach_pass_program;
using namespace holdfast::netpath;
using classifier::ClassifierTable;

constexpr const char* kNear = "hf-cost-near";
constexpr const char* kFar = "hf-cost-far";
constexpr in_port_t kPort = 9001;
constexpr std::uint32_t kRepeat = 1'000'000;

std::int64_t now_ns() {
    timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

bool shell(const std::string& command) {
    return std::system(command.c_str()) == 0;
}

void leave() {
    shell(std::string{"ip netns del "} + kNear + " 2>/dev/null");
    shell(std::string{"ip netns del "} + kFar + " 2>/dev/null");
}

bool make_namespaces() {
    leave();
    std::string all;
    for (const char* name : {kNear, kFar}) all += std::string{"ip netns add "} + name + " && ";
    all +=
        std::string{"ip link add near netns "} + kNear + " type veth peer name far netns " + kFar;
    const std::array ends{std::pair{kNear, "near"}, std::pair{kFar, "far"}};
    for (std::size_t i = 0; i < ends.size(); ++i) {
        const std::string in = std::string{" && ip -n "} + ends.at(i).first;
        const std::string device = ends.at(i).second;
        all += in + " addr add 10.79.31." + std::to_string(i + 1) + "/24 dev " + device + in +
               " link set " + device + " up";
    }
    return shell(all);
}

bool enter(const char* name) {
    const UniqueFd fd{::open((std::string{"/run/netns/"} + name).c_str(), O_RDONLY | O_CLOEXEC)};
    return fd && ::setns(fd.get(), CLONE_NEWNET) == 0;
}

sockaddr_in near_address() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(kPort);
    address.sin_addr.s_addr = htonl(0x0a4f1f01);  // 10.79.31.1
    return address;
}

const sockaddr* raw(const sockaddr_in& address) {
    return static_cast<const sockaddr*>(static_cast<const void*>(&address));
}

/// Sends for a second, in the far namespace.
[[noreturn]] void send_stream() {
    const sockaddr_in address = near_address();
    if (!enter(kFar)) ::_exit(1);
    const UniqueFd out{::socket(AF_INET, SOCK_STREAM, 0)};
    if (::connect(out.get(), raw(address), sizeof address) != 0) ::_exit(1);
    const std::vector<char> chunk(std::size_t{128} * 1024);
    const std::int64_t end = now_ns() + 1'000'000'000;
    while (now_ns() < end)
        if (::send(out.get(), chunk.data(), chunk.size(), MSG_NOSIGNAL) < 0) break;
    ::_exit(0);
}

/// MB/s that arrive; this process is in the near namespace.
double throughput() {
    const UniqueFd listening{::socket(AF_INET, SOCK_STREAM, 0)};
    const int yes = 1;
    ::setsockopt(listening.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    const sockaddr_in address = near_address();
    if (::bind(listening.get(), raw(address), sizeof address) != 0 ||
        ::listen(listening.get(), 1) != 0)
        return 0;
    const pid_t sender = ::fork();
    if (sender == 0) send_stream();
    const UniqueFd stream{::accept(listening.get(), nullptr, nullptr)};
    std::vector<char> room(std::size_t{1} << 20);
    const std::int64_t begun = now_ns();
    double bytes = 0;
    for (ssize_t got = 0; (got = ::recv(stream.get(), room.data(), room.size(), 0)) > 0;)
        bytes += static_cast<double>(got);
    const auto took = static_cast<double>(now_ns() - begun);
    ::waitpid(sender, nullptr, 0);
    return bytes / took * 1000;
}

/// An IPv4 packet with the ports of a TCP segment.
std::vector<unsigned char> packet(unsigned char last_byte, unsigned from_port, unsigned to_port) {
    std::vector<unsigned char> frame(1514);
    constexpr std::array<unsigned char, 12> kStart{8, 0, 0x45, 0, 5, 0xdc, 0, 0, 0x40, 0, 64, 6};
    std::ranges::copy(kStart, frame.begin() + 12);
    const std::array<unsigned, 12> rest{
        192,          0, 2, last_byte, 192, 0, 2, 1, from_port >> 8, from_port & 255, to_port >> 8,
        to_port & 255};
    std::ranges::transform(rest, frame.begin() + 26,
                           [](unsigned one) { return static_cast<unsigned char>(one); });
    return frame;
}

unsigned ns_per_packet(int program, const std::vector<unsigned char>& frame) {
    bpf_test_run_opts options{};
    options.sz = sizeof options;
    options.data_in = frame.data();
    options.data_size_in = static_cast<__u32>(frame.size());
    options.repeat = kRepeat;
    return bpf_prog_test_run_opts(program, &options) == 0 ? options.duration : 0;
}

bool print_times() {
    const auto made = classifier::load_classifier({});
    if (!made) return false;
    const auto table = ClassifierTable::map(made->shared.get());
    if (!table) return false;
    const auto session = packet(2, 3260, 40000);
    const auto stray = packet(9, 80, 50000);
    std::array<std::byte, 4> remote{std::byte{192}, std::byte{0}, std::byte{2}, std::byte{2}};
    const steer::FlowRule rule{
        .flow = {.remote = wire::IpAddress::v4(remote), .remote_port = 3260}};
    if (!table->try_add_flow(classifier::FlowOwner{1}, rule)) return false;
    const int program = made->program.get();
    std::printf("  \"ns_per_packet\": {\"unleased\": %u,", ns_per_packet(program, stray));
    table->renew_lease(Instant::from_ns(now_ns()) + Duration::from_s(3600));
    std::printf(" \"stranger_calm\": %u,", ns_per_packet(program, stray));
    std::printf(" \"session\": %u,", ns_per_packet(program, session));
    table->set_pressure_mode(classifier::PressureMode::On);
    std::printf(" \"stranger_dropped\": %u},\n", ns_per_packet(program, stray));
    return true;
}

double median(std::vector<double> all) {
    std::ranges::sort(all);
    return all.at(all.size() / 2);
}

/// One round of each; false when something cannot be attached.
bool add_round(std::array<std::vector<double>, 3>& rates) {
    rates[0].push_back(throughput());
    {
        const UniqueFd empty = attach_pass_program("near");
        if (!empty) return false;
        rates[1].push_back(throughput());
    }
    const auto made = classifier::load_classifier(
        {.interface_index = ::if_nametoindex("near"), .mode = classifier::XdpWish::Native});
    if (!made) return false;
    const auto table = ClassifierTable::map(made->shared.get());
    if (!table) return false;
    table->renew_lease(Instant::from_ns(now_ns()));
    rates[2].push_back(throughput());
    return table->counts().calm > 0;
}

int measure(int rounds) {
    if (!make_namespaces() || !enter(kNear)) return EXIT_FAILURE;
    std::printf("{\n");
    std::array<std::vector<double>, 3> rates;
    bool is_good = print_times();
    for (int i = 0; i < rounds && is_good; ++i) is_good = add_round(rates);
    leave();
    if (!is_good) return EXIT_FAILURE;
    const std::array medians{median(rates[0]), median(rates[1]), median(rates[2])};
    std::printf("  \"MB_per_s\": {\"no_xdp\": %.0f, \"only_pass\": %.0f, \"classifier\": %.0f},\n",
                medians[0], medians[1], medians[2]);
    std::printf("  \"ratio\": {\"to_only_pass\": %.3f, \"to_no_xdp\": %.3f}\n}\n",
                medians[2] / medians[1], medians[2] / medians[0]);
    return EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) {
    // The one place where the C argument vector becomes a span.
    const std::span<char* const> words{argv, static_cast<std::size_t>(argc)};
    const int rounds = words.size() > 1 ? std::atoi(words[1]) : 5;
    if (::geteuid() != 0 || rounds < 1) {
        std::fputs("usage: classifier-cost [ROUNDS], as root\n", stderr);
        return EXIT_FAILURE;
    }
    return measure(rounds);
}
