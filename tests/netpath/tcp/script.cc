#include "tests/netpath/tcp/script.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <sstream>
#include <stdexcept>
#include <vector>

#include "tests/netpath/tcp/endpoint.h"

namespace holdfast::tcp_test {

namespace {

using netpath::tcp::Fact;
using netpath::tcp::State;

constexpr std::int64_t kStartNs = 1'000'000'000'000;

struct Failed : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// A line of a script: when, and what.
struct Line {
    int number = 0;
    std::string when{};
    std::vector<std::string> words{};  ///< What stands in <> or [] is one word.
};

std::vector<std::string> words_of(const std::string& text) {
    std::vector<std::string> words;
    std::string word;
    char closer = 0;
    for (const char c : text) {
        if (closer == 0 && (c == ' ' || c == '\t')) {
            if (!word.empty()) words.push_back(word);
            word.clear();
            continue;
        }
        if (closer == 0 && c == '<' && !words.empty() && word.empty()) closer = '>';
        if (closer == 0 && c == '[') closer = ']';
        word += c;
        if (c == closer) closer = 0;
        // The arrow of an incoming packet is a word, not a bracket.
        if (closer == '>' && word == "<" && words.size() == 1) closer = 0;
    }
    if (!word.empty()) words.push_back(word);
    return words;
}

std::int64_t ns_of(const std::string& seconds) {
    return std::llround(std::stod(seconds) * 1e9);
}

const std::map<State, std::string> kStates{
    {State::Closed, "Closed"},           {State::SynSent, "SynSent"},
    {State::SynReceived, "SynReceived"}, {State::Established, "Established"},
    {State::FinWait1, "FinWait1"},       {State::FinWait2, "FinWait2"},
    {State::CloseWait, "CloseWait"},     {State::Closing, "Closing"},
    {State::LastAck, "LastAck"},         {State::TimeWait, "TimeWait"}};

std::string fact_text(const Fact& fact) {
    static const std::vector<std::string> reasons{"closed",      "refused",   "reset_by_peer",
                                                  "reset_by_us", "no_answer", "close_timed_out"};
    if (fact.kind == Fact::Kind::Up) return "up";
    if (fact.kind == Fact::Kind::PeerClosed) return "peer_closed";
    return "ended " + reasons.at(static_cast<std::size_t>(fact.reason));
}

/// A packet of ours that no line has asked for yet.
struct Sent {
    std::int64_t at = 0;
    Packet packet{};
};

class Run {
public:
    Run(const std::string& text, const Bases& bases, std::size_t piece_bytes = 0)
        : bases_(bases), piece_bytes_(piece_bytes) {
        parse(text);
    }

    std::string go() {
        try {
            for (const Line& line : lines_) {
                line_ = &line;
                obey(line);
                check_endpoint();
            }
            line_ = nullptr;
            if (!sent_.empty())
                throw Failed("a packet that no line asks for: " + text(sent_.front()));
            if (endpoint_ && take_fact() != "") throw Failed("a fact that no line asks for");
        } catch (const std::exception& failure) {
            std::ostringstream out;
            out << "line " << (line_ != nullptr ? line_->number : 0) << ": " << failure.what()
                << "\n"
                << trace_.str();
            return out.str();
        }
        return {};
    }
    [[nodiscard]] std::string trace() const { return trace_.str(); }

private:
    void parse(const std::string& script) {
        std::istringstream stream{script};
        std::string raw;
        for (int number = 1; std::getline(stream, raw); ++number) {
            if (const auto comment = raw.find("//"); comment != std::string::npos)
                raw.resize(comment);
            auto words = words_of(raw);
            if (words.empty()) continue;
            Line line{.number = number, .when = words.front(), .words = {}};
            if (line.when == "option") line.when = "";
            line.words.assign(words.begin() + (line.when.empty() ? 0 : 1), words.end());
            lines_.push_back(line);
        }
    }

    void obey(const Line& line) {
        if (line.when.empty()) return set_option(line.words);
        if (line.words.empty()) throw Failed("a time and nothing else");
        if (!endpoint_) make_endpoint();
        std::int64_t from = 0;
        std::int64_t to = 0;
        times_of(line.when, from, to);
        if (line.words[0] == ">") return expect_packet(line, from, to);
        if (line.words[0] == "jump") return jump(line);
        run_until(from, false);
        if (!sent_.empty()) throw Failed("a packet that no line asks for: " + text(sent_.front()));
        last_ = now_;
        act(line);
        drain();
    }

    void times_of(const std::string& when, std::int64_t& from, std::int64_t& to) const {
        if (when == "*") {
            from = last_;
            to = last_ + 100'000'000'000'000;
            return;
        }
        const auto tilde = when.find('~');
        const auto one = [this](const std::string& word) {
            return word.at(0) == '+' ? last_ + ns_of(word.substr(1)) : kStartNs + ns_of(word);
        };
        from = one(when.substr(0, tilde));
        to = tilde == std::string::npos ? from : one(when.substr(tilde + 1));
        if (from < now_ && line_->words[0] != ">") throw Failed("a time that is over");
    }

    void set_option(const std::vector<std::string>& words) {
        if (endpoint_) throw Failed("options come first");
        for (std::size_t i = 1; i < words.size(); ++i) {
            const auto equals = words[i].find('=');
            options_[words[i].substr(0, equals)] = words[i].substr(equals + 1);
        }
    }
    double option(const std::string& name, double otherwise) {
        const auto found = options_.find(name);
        if (found == options_.end()) return otherwise;
        const double value = std::stod(found->second);
        options_.erase(found);
        return value;
    }
    Duration time_option(const std::string& name, Duration otherwise) {
        const double seconds = option(name, static_cast<double>(otherwise.ns()) / 1e9);
        return Duration::from_ns(std::llround(seconds * 1e9));
    }
    std::uint32_t count_option(const std::string& name, std::uint32_t otherwise) {
        return static_cast<std::uint32_t>(option(name, otherwise));
    }

    void make_endpoint() {
        EndpointConfig config;
        netpath::tcp::Options& options = config.options;
        config.ends.is_v6 = count_option("v6", 0) != 0;
        if (const auto vlan = count_option("vlan", 0))
            config.ends.vlan = static_cast<std::uint16_t>(vlan);
        config.limits.rx_frames = count_option("rx_frames", config.limits.rx_frames);
        config.limits.sent = count_option("sent", config.limits.sent);
        config.limits.records = count_option("records", config.limits.records);
        config.frame_bytes = count_option("frame_bytes", 2048);
        options.mtu_bytes = count_option("mtu", 1500);
        options.frame_payload_bytes = count_option("frame_payload", 1460);
        options.window_bytes_max = count_option("window", 65535);
        options.rx_frames_reserved = count_option("reserved", options.rx_frames_reserved);
        options.timestamps = count_option("timestamps", 0) != 0;
        options.window_scaling = count_option("window_scaling", 1) != 0;
        options.sack = count_option("sack", 1) != 0;
        options.probes_mtu = count_option("probes_mtu", 1) != 0;
        options.initial_window_segments = count_option("iw", options.initial_window_segments);
        options.rto_initial = time_option("rto_initial", options.rto_initial);
        options.rto_min = time_option("rto_min", options.rto_min);
        options.rto_max = time_option("rto_max", options.rto_max);
        options.delayed_ack = time_option("delayed_ack", options.delayed_ack);
        options.user_timeout = time_option("user_timeout", options.user_timeout);
        options.connect_timeout = time_option("connect_timeout", options.connect_timeout);
        options.close_timeout = time_option("close_timeout", options.close_timeout);
        options.time_wait = time_option("time_wait", options.time_wait);
        if (!options_.empty()) throw Failed("unknown option " + options_.begin()->first);
        if (piece_bytes_ != 0) {
            constexpr std::uint32_t kPieces = 4;
            config.piece_bytes = piece_bytes_;
            options.frames_per_packet = kPieces;
            options.rx_frames_reserved *= kPieces;
            config.limits.rx_frames *= kPieces;
        }
        ends_ = config.ends;
        endpoint_ = std::make_unique<Endpoint>(config);
    }

    // Time.
    [[nodiscard]] Instant now() const { return Instant::from_ns(now_); }
    void drain() {
        endpoint_->settle();
        while (true) {
            const Bytes frame = endpoint_->output(now(), has_tx_frames_);
            if (frame.empty()) break;
            const Decoded decoded = frame_from_us(ends_, frame);
            if (!decoded.packet) throw Failed("a wrong frame: " + decoded.complaint);
            last_ip_bytes_ = decoded.ip_bytes;
            const Sent sent{now_, *decoded.packet};
            if (sent.packet.timestamps) last_sent_timestamp_ = sent.packet.timestamps->first;
            trace_ << "    " << seconds(now_) << " " << text(sent) << "\n";
            sent_.push_back(sent);
        }
        endpoint_->settle();
    }
    /// Lets the endpoint live until `until`; with `stops` only to its next packet.
    void run_until(std::int64_t until, bool stops) {
        for (int turns = 0; !(stops && !sent_.empty()); ++turns) {
            if (turns > 100'000) throw Failed("the endpoint never sleeps");
            const std::int64_t due = endpoint_->stream().next_wake().ns();
            if (due > until) break;
            now_ = std::max(now_, due);
            endpoint_->stream().wake(now());
            drain();
        }
        if (sent_.empty()) now_ = std::max(now_, until);
    }
    /// The host sleeps: nothing runs, then everything that was due does at once.
    void jump(const Line& line) {
        now_ += ns_of(line.words.at(1));
        last_ = now_;
        endpoint_->stream().wake(now());
        drain();
    }
    static std::string seconds(std::int64_t at) {
        std::ostringstream out;
        out << static_cast<double>(at - kStartNs) / 1e9;
        return out.str();
    }

    // Packets.
    std::string text(const Sent& sent) const {
        const Packet& p = sent.packet;
        std::ostringstream out;
        out << "> " << flags_text(p) << " " << p.seq - bases_.isn << ":"
            << p.seq - bases_.isn + p.payload.size() << "(" << p.payload.size() << ")";
        if (p.has(kAck)) out << " ack " << p.ack - bases_.peer_isn;
        out << " win " << p.window << " " << options_text(p);
        return out.str();
    }
    static std::string flags_text(const Packet& p) {
        std::string flags;
        if (p.has(kSyn)) flags += 'S';
        if (p.has(kFin)) flags += 'F';
        if (p.has(kRst)) flags += 'R';
        if (p.has(kPsh)) flags += 'P';
        if (p.has(kAck)) flags += '.';
        return flags;
    }
    std::string options_text(const Packet& p) const {
        std::ostringstream out;
        const auto separate = [&out] {
            if (out.tellp() > 0) out << ",";
        };
        if (p.mss) out << "mss " << *p.mss;
        if (p.sack_permitted) separate(), out << "sackOK";
        if (p.timestamps) {
            separate();
            out << "TS val " << p.timestamps->first - bases_.timestamp << " ecr ";
            out << (p.has(kSyn) && !p.has(kAck) ? p.timestamps->second
                                                : p.timestamps->second - bases_.peer_timestamp);
        }
        if (p.window_shift) separate(), out << "wscale " << int{*p.window_shift};
        if (!p.sacks.empty()) {
            separate();
            out << "sack";
            for (const auto& [begin, end] : p.sacks)
                out << " " << begin - bases_.peer_isn << ":" << end - bases_.peer_isn;
        }
        return out.tellp() > 0 ? "<" + out.str() + ">" : "";
    }
    static std::uint32_t number(const std::string& word) {
        return static_cast<std::uint32_t>(std::stoul(word, nullptr, 0));
    }

    /// FLAGS seq:end(len) [ack N] [win N] [<options>], from the second word on.
    struct Described {
        Packet packet;
        bool has_ack = false;
        bool has_window = false;
        std::optional<std::string> options{};
    };
    Described describe(const Line& line) const {
        Described d;
        for (const char c : line.words.at(1)) {
            static const std::map<char, std::uint8_t> kFlags{
                {'S', kSyn}, {'F', kFin}, {'R', kRst}, {'P', kPsh}, {'.', kAck}};
            if (!kFlags.contains(c)) throw Failed("unknown flag");
            d.packet.flags |= kFlags.at(c);
        }
        const std::string& range = line.words.at(2);
        const auto colon = range.find(':');
        const auto open = range.find('(');
        if (colon == std::string::npos || open == std::string::npos)
            throw Failed("not a range: " + range);
        d.packet.seq = number(range.substr(0, colon));
        const std::uint32_t length = number(range.substr(open + 1));
        if (number(range.substr(colon + 1)) - d.packet.seq != length)
            throw Failed("the length does not fit its range");
        d.packet.payload.resize(length);
        for (std::size_t i = 3; i < line.words.size(); ++i) {
            const std::string& word = line.words[i];
            if (word == "ack") {
                d.packet.ack = number(line.words.at(++i));
                d.has_ack = true;
            } else if (word == "win") {
                d.packet.window = static_cast<std::uint16_t>(number(line.words.at(++i)));
                d.has_window = true;
            } else if (word.front() == '<') {
                d.options = word.substr(1, word.size() - 2);
            } else {
                throw Failed("unknown word " + word);
            }
        }
        return d;
    }

    void expect_packet(const Line& line, std::int64_t from, std::int64_t to) {
        const Described want = describe(line);
        run_until(to, true);
        if (sent_.empty()) throw Failed("no packet came");
        const Sent got = sent_.front();
        sent_.pop_front();
        if (got.at < from || got.at > to)
            throw Failed("came at " + seconds(got.at) + ": " + text(got));
        const Packet& p = got.packet;
        const auto differs = [&](const std::string& what) {
            throw Failed(what + " differs: " + text(got));
        };
        if (p.flags != want.packet.flags) differs("flags");
        if (p.seq - bases_.isn != want.packet.seq) differs("sequence number");
        if (p.payload.size() != want.packet.payload.size()) differs("length");
        if (want.has_ack && p.ack - bases_.peer_isn != want.packet.ack) differs("ack");
        if (want.has_window && p.window != want.packet.window) differs("window");
        if (want.options) {
            if (options_text(p) != (want.options->empty() ? "" : "<" + *want.options + ">") &&
                !matches_wildly(options_text(p), *want.options))
                differs("options");
        } else if (!p.sacks.empty()) {
            differs("SACK");
        }
        for (std::size_t i = 0; i < p.payload.size(); ++i) {
            if (p.payload[i] != pattern(p.seq - bases_.isn - 1 + i, true))
                differs("payload at " + std::to_string(i));
        }
        last_ = now_ = std::max(got.at, now_);
    }
    /// "TS val * ecr *" stands for any timestamps.
    static bool matches_wildly(std::string got, const std::string& want) {
        const std::string any = "TS val * ecr *";
        const auto at = got.find("TS val ");
        if (at == std::string::npos || want.find(any) == std::string::npos) return false;
        const auto end = got.find_first_of(",>", at);
        return got.replace(at, end - at, any) == "<" + want + ">";
    }

    void take_options(const std::string& options, Packet& packet) const {
        std::istringstream stream{options};
        std::string one;
        while (std::getline(stream, one, ',')) {
            std::istringstream parts{one};
            std::string name;
            parts >> name;
            std::uint32_t a = 0;
            std::uint32_t b = 0;
            std::string word;
            if (name == "mss") {
                parts >> a;
                packet.mss = static_cast<std::uint16_t>(a);
            } else if (name == "wscale") {
                parts >> a;
                packet.window_shift = static_cast<std::uint8_t>(a);
            } else if (name == "sackOK") {
                packet.sack_permitted = true;
            } else if (name == "TS") {
                std::int64_t value = 0;
                std::string echo;
                parts >> word >> value >> word >> echo;
                const std::uint32_t e =
                    echo == "*" ? last_sent_timestamp_ : number(echo) + bases_.timestamp;
                packet.timestamps = {static_cast<std::uint32_t>(value) + bases_.peer_timestamp, e};
            } else if (name == "sack") {
                while (parts >> word) {
                    a = number(word.substr(0, word.find(':')));
                    b = number(word.substr(word.find(':') + 1));
                    packet.sacks.emplace_back(a + bases_.isn, b + bases_.isn);
                }
            } else if (name == "raw") {
                packet.raw_options.emplace();
                while (parts >> word)
                    packet.raw_options->push_back(
                        static_cast<std::uint8_t>(std::stoul(word, nullptr, 16)));
            } else if (name != "nop" && name != "none") {
                throw Failed("unknown option " + name);
            }
        }
    }

    void inject(const Line& line) {
        Described d = describe(line);
        Packet& p = d.packet;
        if (p.has(kSyn)) uses_timestamps_ = d.options && d.options->find("TS") != std::string::npos;
        for (std::size_t i = 0; i < p.payload.size(); ++i)
            p.payload[i] = pattern(p.seq - 1 + i, false);
        p.seq += bases_.peer_isn;
        p.ack += bases_.isn;
        if (d.options) take_options(*d.options, p);
        const bool wants_timestamp = uses_timestamps_ && !p.timestamps &&
                                     (!d.options || d.options->find("none") == std::string::npos) &&
                                     !p.raw_options;
        if (wants_timestamp) {
            const auto ms = static_cast<std::uint32_t>((now_ - kStartNs) / 1'000'000);
            p.timestamps = {bases_.peer_timestamp + ms, last_sent_timestamp_};
        }
        std::ostringstream words;
        for (const std::string& word : line.words) words << word << " ";
        trace_ << "    " << seconds(now_) << " " << words.str() << "\n";
        Bytes frame = frame_from_peer(ends_, p);
        if (corrupts_next_) frame.at(frame.size() - 1 - (p.payload.empty() ? 20 : 0)) ^= 0x40;
        corrupts_next_ = false;
        endpoint_->input(now(), frame);
    }

    void inject_icmp(const Line& line) {
        static const std::map<std::string, std::pair<int, int>> kV4{
            {"too_big", {3, 4}},          {"net_unreachable", {3, 0}},
            {"host_unreachable", {3, 1}}, {"protocol_unreachable", {3, 2}},
            {"port_unreachable", {3, 3}}, {"admin_prohibited", {3, 13}},
            {"time_exceeded", {11, 0}},   {"source_quench", {4, 0}}};
        static const std::map<std::string, std::pair<int, int>> kV6{
            {"too_big", {2, 0}},          {"net_unreachable", {1, 0}},
            {"host_unreachable", {1, 3}}, {"port_unreachable", {1, 4}},
            {"admin_prohibited", {1, 1}}, {"time_exceeded", {3, 0}}};
        IcmpFrame icmp;
        const auto& kinds = ends_.is_v6 ? kV6 : kV4;
        const auto [type, code] = kinds.at(line.words.at(2));
        icmp.type = static_cast<std::uint8_t>(type);
        icmp.code = static_cast<std::uint8_t>(code);
        for (std::size_t i = 3; i < line.words.size(); i += 2) {
            const std::uint32_t value = number(line.words.at(i + 1));
            if (line.words[i] == "mtu")
                icmp.mtu = value;
            else if (line.words[i] == "seq")
                icmp.seq = value + bases_.isn;
            else if (line.words[i] == "size")
                icmp.quoted_ip_bytes = value;
            else
                throw Failed("unknown word " + line.words[i]);
        }
        endpoint_->input(now(), icmp_from_router(ends_, icmp));
    }

    // What the owner does.
    void act(const Line& line) {
        const std::string& verb = line.words[0];
        if (verb == "<" && line.words.at(1) == "icmp") return inject_icmp(line);
        if (verb == "<") return inject(line);
        if (verb == "expect") return expect(line);
        trace_ << "    " << seconds(now_) << " " << verb << "\n";
        if (verb == "connect") {
            const auto ms = static_cast<std::uint32_t>(now_ / 1'000'000);
            endpoint_->connect(now(), bases_.isn, bases_.timestamp - ms);
        } else if (verb == "handshake") {
            handshake(line);
        } else if (verb == "write") {
            const bool is_taken = endpoint_->write(number(line.words.at(1)));
            const bool is_refusal = line.words.size() > 2 && line.words[2] == "refused";
            if (is_taken == is_refusal) throw Failed(is_taken ? "was not refused" : "was refused");
        } else if (verb == "read") {
            const std::uint32_t want = number(line.words.at(1));
            if (endpoint_->read(now(), want) != want) throw Failed("there was less to read");
        } else if (verb == "close") {
            endpoint_->stream().close(now());
        } else if (verb == "reset") {
            endpoint_->stream().reset(now());
        } else if (verb == "fact") {
            const std::string want =
                line.words.at(1) + (line.words.size() > 2 ? " " + line.words[2] : "");
            if (const std::string got = take_fact(); got != want) throw Failed("got: " + got);
        } else if (verb == "tx_frames") {
            has_tx_frames_ = line.words.at(1) == "on";
        } else if (verb == "corrupt_next") {
            corrupts_next_ = true;
        } else {
            throw Failed("unknown verb " + verb);
        }
    }

    /// handshake [rtt=S] [mss=N] [sack=0|1] [wscale=N] [win=N]: the usual beginning.
    void handshake(const Line& line) {
        std::map<std::string, double> with{{"rtt", 0.1},  {"mss", 1460},  {"sack", 1},
                                           {"wscale", 0}, {"win", 65535}, {"ts", 0}};
        for (std::size_t i = 1; i < line.words.size(); ++i) {
            const auto equals = line.words[i].find('=');
            with.at(line.words[i].substr(0, equals)) = std::stod(line.words[i].substr(equals + 1));
        }
        const auto ms = static_cast<std::uint32_t>(now_ / 1'000'000);
        endpoint_->connect(now(), bases_.isn, bases_.timestamp - ms);
        drain();
        if (sent_.size() != 1 || sent_.front().packet.flags != kSyn) throw Failed("no SYN");
        sent_.clear();
        now_ += std::llround(with["rtt"] * 1e9);
        endpoint_->stream().wake(now());
        uses_timestamps_ = with["ts"] != 0;
        Packet answer{.flags = kSyn | kAck,
                      .seq = bases_.peer_isn,
                      .ack = bases_.isn + 1,
                      .window = static_cast<std::uint16_t>(with["win"]),
                      .mss = static_cast<std::uint16_t>(with["mss"]),
                      .sack_permitted = with["sack"] != 0};
        if (with["wscale"] >= 0) answer.window_shift = static_cast<std::uint8_t>(with["wscale"]);
        if (uses_timestamps_) {
            const auto since = static_cast<std::uint32_t>((now_ - kStartNs) / 1'000'000);
            answer.timestamps = {bases_.peer_timestamp + since, last_sent_timestamp_};
        }
        endpoint_->input(now(), frame_from_peer(ends_, answer));
        drain();
        if (sent_.size() != 1 || sent_.front().packet.flags != kAck) throw Failed("no ACK");
        sent_.clear();
        if (take_fact() != "up") throw Failed("not up");
        last_ = now_;
    }

    std::string take_fact() {
        const auto fact = endpoint_->stream().poll_fact();
        return fact ? fact_text(*fact) : "";
    }

    std::string value_of(const std::string& key) {
        const netpath::tcp::Connection& c = endpoint_->stream().connection();
        const netpath::tcp::Counters& n = c.counters();
        const auto ms = [](Duration d) { return std::to_string(d.ms()); };
        if (key == "state") return kStates.at(c.state());
        if (key == "srtt") return ms(c.srtt());
        if (key == "rto") return ms(c.rto());
        const std::map<std::string, std::uint64_t> numbers{
            {"cwnd", c.cwnd_bytes()},
            {"ssthresh", c.ssthresh_bytes()},
            {"in_flight", c.in_flight_bytes()},
            {"mss", c.mss_bytes()},
            {"mtu", c.mtu_bytes()},
            {"held_frames", c.held_frames()},
            {"readable", c.readable_bytes()},
            {"returned", endpoint_->returned_bytes()},
            {"malformed", endpoint_->stream().malformed_count()},
            {"ip_bytes", last_ip_bytes_},
            {"resent", n.resent},
            {"timeouts", n.timeouts},
            {"tail_probes", n.tail_probes},
            {"recoveries", n.recoveries},
            {"undone", n.undone},
            {"reneged", n.reneged},
            {"challenges", n.challenges},
            {"held_back", n.challenges_held_back},
            {"paws", n.paws_dropped},
            {"unacceptable", n.unacceptable},
            {"dropped", n.dropped_for_memory},
            {"window_probes", n.window_probes},
            {"mtu_probes", n.mtu_probes},
            {"mtu_reductions", n.mtu_reductions},
            {"icmp_believed", n.icmp_believed},
            {"icmp_ignored", n.icmp_ignored}};
        return std::to_string(numbers.at(key));
    }
    void expect(const Line& line) {
        for (std::size_t i = 1; i < line.words.size(); ++i) {
            const std::string& word = line.words[i];
            const auto at = word.find_first_of("=<>");
            const std::string key = word.substr(0, at);
            const std::string want = word.substr(at + 1);
            const std::string got = value_of(key);
            const char relation = word.at(at);
            const bool holds = relation == '='   ? got == want
                               : relation == '<' ? std::stoull(got) < std::stoull(want)
                                                 : std::stoull(got) > std::stoull(want);
            if (!holds) throw Failed(word + " but it is " + got);
        }
    }

    void check_endpoint() const {
        if (endpoint_ && !endpoint_->complaint().empty()) throw Failed(endpoint_->complaint());
    }

    Bases bases_;
    std::size_t piece_bytes_;
    Ends ends_;
    std::vector<Line> lines_;
    const Line* line_ = nullptr;
    std::map<std::string, std::string> options_;
    std::unique_ptr<Endpoint> endpoint_;
    std::int64_t now_ = kStartNs;
    std::int64_t last_ = kStartNs;
    std::deque<Sent> sent_;
    std::ostringstream trace_;
    std::uint32_t last_sent_timestamp_ = 0;
    std::uint32_t last_ip_bytes_ = 0;
    bool uses_timestamps_ = false;
    bool has_tx_frames_ = true;
    bool corrupts_next_ = false;
};

}  // namespace

std::string run_script(const std::string& text, const Bases& bases, std::size_t piece_bytes) {
    return Run{text, bases, piece_bytes}.go();
}

std::string trace_script(const std::string& text) {
    Run run{text, Bases{}};
    const std::string failure = run.go();
    return failure.empty() ? run.trace() : failure;
}

}  // namespace holdfast::tcp_test
