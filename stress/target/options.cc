#include "stress/target/options.h"

#include <CLI/CLI.hpp>
#include <fstream>
#include <map>
#include <set>

#include "stress/target/chap.h"
#include "stress/target/text.h"

namespace holdfast::target {
namespace {

constexpr const char* kTeaching = R"(A RAM target for testing iSCSI initiators.

  holdfast-target                                       1 GiB, LUN 0, on 127.0.0.1:3260
  holdfast-target --listen 127.0.0.1:0 --lun size=64M,cache=on,thin
  holdfast-target --fault 'every=3s reset' --fault 'prob=0.01 op=read busy'
  holdfast-target --control /run/t.sock                 then send lines such as
                                                        'power-cut', 'at=2s reset', 'stats'

A LUN is words between commas: id=0,size=1G,block=512|4096,cache=on,ro,thin,file=PATH,serial=TEXT.
)";

constexpr const char* kFaults = R"(Faults are 'WHEN ACTION'.
  WHEN: at=2.5s  every=3s  after-pdus=1000  every-pdus=500  command=100  every-commands=100
        prob=0.01 seed=7; nothing: now, or the next PDU that fits. Counters count what fits.
  and:  op=read|write|flush|unmap|command|data-out|login|nop|text|tmf|logout  conn=N  lun=N  times=N
  ACTION on the PDU:   delay 50ms   drop   drop-reply   busy   task-set-full   reservation-conflict
                       check 3/11/00   reject protocol   hold-write 5s (executes late, even after
                       its connection died)
  on the next reply:   close-at-byte N   corrupt-digest header|data   corrupt-data   lose-pdu
  on connections:      reset   close   stop-answering [10s]   garbage 4096   ping
                       async-logout [s]   async-drop [s]   async-drop-all [s]   async-negotiate [s]
                       async-sense 3f/0e   async-vendor   unit-attention 29/00
  on the target:       power-cut [random] [2s dark]   redirect HOST:PORT [permanent]
                       resize 0 2G)";

struct Accounts {
    std::vector<std::string> initiators;
    std::string mutual;
    std::string file;
    std::string algorithms;
};

std::optional<Account> parse_account(const std::string& text) {
    const auto percent = text.find('%');
    if (percent == std::string::npos || percent + 1 == text.size()) return {};
    return Account{text.substr(0, percent), text.substr(percent + 1)};
}

/// Lines 'NAME SECRET' and 'mutual NAME SECRET'.
std::string read_accounts(const std::string& path, AuthPolicy& auth) {
    std::ifstream file{path};
    if (!file) return "cannot read the CHAP file " + path;
    std::string line;
    while (std::getline(file, line)) {
        std::istringstream words{line};
        std::string first;
        std::string second;
        std::string third;
        words >> first >> second >> third;
        if (first.empty() || first.starts_with('#')) continue;
        if (first == "mutual" && !third.empty()) {
            auth.mutual = {second, third};
        } else if (!second.empty() && third.empty()) {
            auth.initiators.push_back({first, second});
        } else {
            return path + " has a line that is neither 'NAME SECRET' nor 'mutual NAME SECRET'";
        }
    }
    return {};
}

std::string apply_accounts(const Accounts& accounts, AuthPolicy& auth) {
    for (const auto& text : accounts.initiators) {
        const auto account = parse_account(text);
        if (!account) return "--chap needs NAME%SECRET";
        auth.initiators.push_back(*account);
    }
    if (!accounts.mutual.empty()) {
        const auto account = parse_account(accounts.mutual);
        if (!account) return "--mutual needs NAME%SECRET";
        auth.mutual = *account;
    }
    if (!accounts.file.empty()) {
        if (auto problem = read_accounts(accounts.file, auth); !problem.empty()) return problem;
    }
    if (accounts.algorithms.empty()) return {};
    const std::map<std::string_view, int> names{
        {"md5", kChapMd5}, {"sha1", kChapSha1}, {"sha256", kChapSha256}, {"sha3-256", kChapSha3}};
    auth.algorithms.clear();
    for (const auto name : split_list(accounts.algorithms)) {
        const auto found = names.find(name);
        if (found == names.end())
            return "--chap-algorithms knows md5, sha1, sha256 and sha3-256, not '" +
                   std::string{name} + "'";
        auth.algorithms.push_back(found->second);
    }
    return {};
}

/// Options that choose one of a few words.
struct Words {
    std::string header_digest = "either";
    std::string data_digest = "either";
    std::string reinstatement = "proper";
};

DigestPolicy digest_policy(std::string_view word) {
    if (word == "none") return DigestPolicy::NoneOnly;
    return word == "required" ? DigestPolicy::Required : DigestPolicy::Either;
}

void add_negotiation(CLI::App& app, OperationalPolicy& policy, Words& words) {
    const std::set<std::string> digests{"none", "either", "required"};
    const char* group = "Negotiation";
    app.add_option("--header-digest", words.header_digest, "which header digests are accepted")
        ->check(CLI::IsMember(digests))
        ->capture_default_str()
        ->group(group);
    app.add_option("--data-digest", words.data_digest, "which data digests are accepted")
        ->check(CLI::IsMember(digests))
        ->capture_default_str()
        ->group(group);
    const auto number = [&](const char* name, std::uint32_t& value, const char* help) {
        app.add_option(name, value, help)->capture_default_str()->group(group);
    };
    number("--max-recv", policy.max_recv_data_segment_bytes,
           "MaxRecvDataSegmentLength in bytes; 0: not declared");
    number("--max-burst", policy.max_burst_bytes, "MaxBurstLength in bytes");
    number("--first-burst", policy.first_burst_bytes, "FirstBurstLength in bytes");
    number("--max-r2t", policy.max_outstanding_r2t, "MaxOutstandingR2T");
    number("--max-connections", policy.max_connections, "MaxConnections");
    number("--time2wait", policy.time2wait_s, "DefaultTime2Wait in seconds");
    number("--time2retain", policy.time2retain_s, "DefaultTime2Retain in seconds");
    number("--recovery-level", policy.recovery_level, "ErrorRecoveryLevel, 0 to 2");
    const auto boolean = [&](const char* name, bool& value, const char* help) {
        app.add_option(name, value, help)->capture_default_str()->group(group);
    };
    boolean("--initial-r2t", policy.initial_r2t, "insist on InitialR2T=Yes");
    boolean("--immediate-data", policy.immediate_data, "allow ImmediateData=Yes");
    boolean("--data-pdu-in-order", policy.data_pdu_in_order, "insist on DataPDUInOrder=Yes");
    boolean("--data-sequence-in-order", policy.data_sequence_in_order,
            "insist on DataSequenceInOrder=Yes");
    app.add_option("--propose", policy.proposals,
                   "KEY=VALUE that the target proposes by itself; costs one more login round")
        ->group(group);
}

void add_behaviour(CLI::App& app, TargetConfig& config, Words& words) {
    const char* group = "Behaviour";
    app.add_option("--reinstatement", words.reinstatement,
                   "proper: a login of the same nexus ends the old session; tgt-like: it lives on "
                   "and still executes writes")
        ->check(CLI::IsMember(std::set<std::string>{"proper", "tgt-like"}))
        ->capture_default_str()
        ->group(group);
    app.add_option("--redirect", config.redirect, "answer every login with this HOST:PORT")
        ->group(group);
    app.add_flag("--redirect-permanent", config.redirect_permanent, "status 0102, not 0101")
        ->group(group);
    app.add_option("--portal", config.portals,
                   "one more TargetAddress for SendTargets: HOST:PORT,TAG")
        ->group(group);
    app.add_option("--decoys", config.decoy_targets, "made-up targets in SendTargets")
        ->group(group);
    app.add_option("--unit-attention", config.unit_attention_on_login, "29/00 on each new session")
        ->capture_default_str()
        ->group(group);
    app.add_option("--status-in-data", config.status_in_data,
                   "the last Data-In carries a good status")
        ->capture_default_str()
        ->group(group);
    const auto number = [&](const char* name, auto& value, const char* help) {
        app.add_option(name, value, help)->capture_default_str()->group(group);
    };
    number("--queue-depth", config.queue_depth, "commands in the CmdSN window");
    number("--r2t-size", config.r2t_bytes, "longest R2T in bytes; 0: MaxBurstLength");
    app.add_flag("--shuffle", config.shuffle,
                 "Data-In and R2Ts out of order where the negotiation allows it")
        ->group(group);
    number("--first-stat-sn", config.first_stat_sn, "StatSN of each connection's first answer");
    number("--ping", config.ping_interval_ms, "ping connections idle for so many ms; 0: never");
    number("--seed", config.seed, "for everything random");
}

struct Raw {
    std::vector<std::string> names;
    std::vector<std::string> luns;
    std::vector<std::string> faults;
    std::string state;
    Accounts accounts;
    Words words;
};

/// Returns a sentence when something is wrong.
std::string resolve(const Raw& raw, Options& options) {
    TargetConfig& config = options.config;
    config.operational.header_digest = digest_policy(raw.words.header_digest);
    config.operational.data_digest = digest_policy(raw.words.data_digest);
    if (raw.words.reinstatement == "tgt-like") config.reinstatement = Reinstatement::TgtLike;
    if (!raw.names.empty()) config.names = raw.names;
    if (!raw.luns.empty()) config.luns.clear();
    std::set<std::uint16_t> ids;
    for (const auto& text : raw.luns) {
        auto lun = parse_lun(text);
        if (!lun) return lun.error();
        if (!ids.insert(lun->id).second)
            return "--lun id=" + std::to_string(lun->id) + " is given twice";
        config.luns.push_back(std::move(*lun));
    }
    for (auto& lun : config.luns) {
        if (!raw.state.empty() && lun.file.empty())
            lun.file = lun.id == 0 ? raw.state : raw.state + ".lun" + std::to_string(lun.id);
    }
    for (const auto& text : raw.faults) {
        auto rule = parse_fault(text);
        if (!rule) return rule.error();
        options.faults.push_back(std::move(*rule));
    }
    if (!options.fault_file.empty()) {
        auto rules = read_fault_file(options.fault_file);
        if (!rules) return rules.error();
        options.faults.insert(options.faults.end(), rules->begin(), rules->end());
    }
    if (config.queue_depth == 0 || config.queue_depth > 65'535)
        return "--queue-depth must be from 1 to 65535";
    const auto& policy = config.operational;
    if (policy.max_recv_data_segment_bytes != 0 && policy.max_recv_data_segment_bytes < 512)
        return "--max-recv must be 0, or at least 512";
    if (policy.max_recv_data_segment_bytes >= (1U << 24))
        return "--max-recv must be below 16777216";
    if (policy.max_burst_bytes < 512 || policy.first_burst_bytes < 512)
        return "--max-burst and --first-burst must be at least 512";
    if (options.listen.empty()) options.listen.emplace_back("127.0.0.1:3260");
    config.take_notes = !options.log.empty();
    return apply_accounts(raw.accounts, config.auth);
}

}  // namespace

std::expected<Options, EarlyEnd> parse_options(int argc, char** argv) {
    Options options;
    Raw raw;
    CLI::App app{kTeaching};
    app.footer(kFaults);
    app.add_option("--listen", options.listen,
                   "HOST:PORT, numeric, may repeat; [::1]:0 lets the kernel choose the port");
    app.add_option("--iqn", raw.names, "target name; may repeat, all have the same LUNs");
    app.add_option("--lun", raw.luns, "a LUN, see above; may repeat");
    app.add_option("--state", raw.state,
                   "keep the RAM in this file (best on tmpfs), so that it survives kill -9");
    app.add_option("--fault", raw.faults, "a fault, see below; may repeat");
    app.add_option("--fault-file", options.fault_file,
                   "faults, one per line; read again on SIGHUP");
    app.add_option("--control", options.control_path, "take lines on this Unix socket");
    app.add_flag("--stdin", options.control_stdin, "take the same lines on standard input");
    app.add_option("--stats", options.stats, "write JSON there on exit; '-' is standard output");
    app.add_option("--log", options.log, "write what happens there; '-' is standard error");
    app.add_option("--ready-fd", options.ready_fd, "write a line to this descriptor when ready");
    const char* chap = "Authentication";
    app.add_option("--chap", raw.accounts.initiators, "ask for CHAP: NAME%SECRET; may repeat")
        ->group(chap);
    app.add_option("--mutual", raw.accounts.mutual, "prove the target: NAME%SECRET")->group(chap);
    app.add_option("--chap-file", raw.accounts.file, "lines 'NAME SECRET' and 'mutual NAME SECRET'")
        ->group(chap);
    app.add_option("--chap-algorithms", raw.accounts.algorithms,
                   "of md5,sha1,sha256,sha3-256; default all")
        ->group(chap);
    app.add_option("--discovery-auth", options.config.auth.discovery_too,
                   "discovery sessions need CHAP too")
        ->capture_default_str()
        ->group(chap);
    add_negotiation(app, options.config.operational, raw.words);
    add_behaviour(app, options.config, raw.words);
    try {
        app.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
        return std::unexpected{EarlyEnd{app.help(), 0}};
    } catch (const CLI::ParseError& error) {
        return std::unexpected{EarlyEnd{std::string{error.what()} + " (--help explains)\n", 2}};
    }
    if (auto problem = resolve(raw, options); !problem.empty())
        return std::unexpected{EarlyEnd{problem + "\n", 2}};
    return options;
}

}  // namespace holdfast::target
